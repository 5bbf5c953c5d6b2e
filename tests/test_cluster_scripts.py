"""Launch scripts for clusters: what can be checked of them without one."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from endodav_jax.errors import EXIT_PREEMPTED, EXIT_USER_ERROR

FOLDER = Path(__file__).parents[1] / "tools" / "cluster"
SCRIPTS = ("slurm.sbatch", "infer_array.sbatch", "tpu_pod.sh")


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_shell_can_read_it(name):
    subprocess.run(["bash", "-n", str(FOLDER / name)], check=True)


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
@pytest.mark.parametrize("name", SCRIPTS)
def test_shellcheck_has_nothing_to_say(name):
    subprocess.run(["shellcheck", str(FOLDER / name)], check=True)


@pytest.fixture
def cluster(tmp_path, monkeypatch):
    """Runs a script where `srun`, `scontrol` and `gcloud` write down their arguments; returns (exit code, calls).

    The first call of a launcher ends with the code that `run` is given, later ones with 0.
    """
    log, codes = tmp_path / "calls", tmp_path / "codes"
    for name in ("srun", "gcloud", "scontrol", "sleep"):
        tool = tmp_path / name
        tool.write_text(
            f'#!/bin/sh\necho {name} "$@" >> {log}\n'
            f"[ {name} = scontrol ] || [ {name} = sleep ] || [ ! -e {codes} ] || {{ code=$(cat {codes}); rm {codes};"
            " exit $code; }\n"
        )
        tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "42")

    def run(script: str, *arguments: str, code: int) -> tuple[int, list[str]]:
        codes.write_text(str(code))
        done = subprocess.run(["bash", str(FOLDER / script), *arguments], capture_output=True, check=False, timeout=60)
        return done.returncode, log.read_text().splitlines() if log.exists() else []

    return run


def test_a_pre_empted_job_of_slurm_goes_back_into_the_queue(cluster):
    code, calls = cluster("slurm.sbatch", "--config", "a b.py", "--workdir", "w", code=EXIT_PREEMPTED)
    assert code == 0
    assert [call.split()[0] for call in calls] == ["srun", "scontrol"]
    assert calls[0].endswith("-m endodav_jax.main --config.train.coordinator=auto --config a b.py --workdir w")
    assert calls[1] == "scontrol requeue 42"


@pytest.mark.parametrize("code", [0, EXIT_USER_ERROR, 137])
def test_any_other_end_of_a_job_of_slurm_is_its_end(cluster, code):
    ended, calls = cluster("slurm.sbatch", code=code)
    assert (ended, [call.split()[0] for call in calls]) == (code, ["srun"])


@pytest.mark.parametrize(
    ("minimum", "task", "step", "count", "share"),
    [(1, 1, 1, 8, "1/8"), (1, 8, 1, 8, "8/8"), (0, 3, 1, 4, "4/4"), (10, 30, 10, 3, "3/3")],
)
def test_a_task_of_an_array_takes_its_share_of_the_recordings(cluster, monkeypatch, minimum, task, step, count, share):
    for name, value in (("MIN", minimum), ("ID", task), ("STEP", step), ("COUNT", count)):
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    code, calls = cluster("infer_array.sbatch", "--from", "a b.txt", "-o", "out", code=1)
    assert code == 1
    assert calls[0].endswith(f"-m endodav_jax.cli infer --from a b.txt -o out --shard {share}")


def test_a_job_that_is_no_array_is_told_so(cluster, monkeypatch):
    monkeypatch.delenv("SLURM_ARRAY_TASK_MIN", raising=False)
    code, calls = cluster("infer_array.sbatch", code=0)
    assert code != 0
    assert calls == []


def test_a_pre_empted_pod_is_started_again_by_the_same_command(cluster):
    code, calls = cluster("tpu_pod.sh", "pod", "zone", "--config", "a b.py", code=EXIT_PREEMPTED)
    launches = [call for call in calls if call.startswith("gcloud")]
    assert code == 0
    assert len(launches) == 2
    assert launches[0] == launches[1]
    assert "--worker=all" in launches[0]
    assert r"endodav_jax.main --config.train.coordinator=auto --config a\ b.py" in launches[0]


def test_a_mistake_ends_a_pod_with_its_own_code(cluster):
    code, calls = cluster("tpu_pod.sh", "pod", "zone", "--config", "a.py", code=EXIT_USER_ERROR)
    assert (code, len(calls)) == (EXIT_USER_ERROR, 1)


def test_a_pod_needs_to_be_named():
    done = subprocess.run(["bash", str(FOLDER / "tpu_pod.sh")], capture_output=True, text=True, check=False)
    assert done.returncode == EXIT_USER_ERROR
    assert "usage" in done.stderr


def test_the_job_of_gke_starts_one_process_a_node_that_finds_pod_0():
    service, job = yaml.safe_load_all((FOLDER / "gke.yaml").read_text())
    spec = job["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    (command,) = container["args"]
    assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
    assert spec["completions"] == spec["parallelism"]
    assert pod["subdomain"] == service["metadata"]["name"]
    assert f"--config.train.processes={spec['completions']}" in command
    assert f"--config.train.coordinator={job['metadata']['name']}-0.{pod['subdomain']}:" in command
    assert "--config.train.process=$JOB_COMPLETION_INDEX" in command


def test_the_job_of_gke_tries_again_after_a_pre_emption_but_not_after_a_mistake():
    _, job = yaml.safe_load_all((FOLDER / "gke.yaml").read_text())
    rules = job["spec"]["podFailurePolicy"]["rules"]
    actions = {value: rule["action"] for rule in rules for value in rule.get("onExitCodes", {}).get("values", [])}
    assert actions == {EXIT_PREEMPTED: "Ignore", EXIT_USER_ERROR: "FailJob"}


def test_the_flags_of_the_job_of_gke_are_fields_of_a_configuration():
    from endodav_jax.config import config_from_dict, load_config_file

    _, job = yaml.safe_load_all((FOLDER / "gke.yaml").read_text())
    words = job["spec"]["template"]["spec"]["containers"][0]["args"][0].split()
    file = words[words.index("--config") + 1]
    values = load_config_file(FOLDER.parents[1] / file)
    for name, value in (word.removeprefix("--config.").split("=") for word in words if word.startswith("--config.")):
        *sections, field = name.split(".")
        section = values
        for part in sections:
            section = section[part]
        assert field in section, name
        section[field] = type(section[field])(value) if not value.startswith("$") else 0
    assert config_from_dict(values.to_dict()).train.processes == 2
