#!/usr/bin/env bash
# Trains on a Cloud TPU pod slice: the same command on every host, one process each.
#
#   tools/cluster/tpu_pod.sh NAME ZONE --config configs/endodav_vitb_scared.py --workdir /mnt/shared/runs/endodav \
#       --config.data.batch_size=32 --config.weights=... --config.data.path=...
#
# The hosts need the package (pip install ".[tpu]") in ENDODAV_DIR (default: ~/endodav_jax) and the shared folder mounted.
set -euo pipefail

if [ "$#" -lt 3 ]; then
    echo "usage: $0 NAME ZONE --config FILE --workdir DIR [--config.FIELD=VALUE ...]" >&2
    exit 2
fi
name=$1 zone=$2
shift 2

readonly preempted=75 # what endodav_jax exits with after saving
folder=${ENDODAV_DIR:-endodav_jax}

printf -v flags ' %q' "$@"
printf -v command 'cd %q && exec python3 -m endodav_jax.main --config.train.coordinator=auto%s' "$folder" "$flags"

# Maintenance stops the program and leaves the hosts: the same command then goes on. Anything else ends the loop.
while true; do
    code=0
    gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all --command="$command" || code=$?
    [ "$code" -eq "$preempted" ] || exit "$code"
    echo "stopped to go on later: starting again in a minute"
    sleep 60
done
