# On a CPU:
#
#   docker build --tag endodav .
#   docker run --rm --volume "$PWD:/data" --user "$(id -u):$(id -g)" endodav infer clip.mp4 -o out
#
# .ci/image_steps runs these steps without Docker; keep to RUN, COPY, ENV, WORKDIR and one line of the shell each.
FROM python:3.12-slim-bookworm

ENV VIRTUAL_ENV=/opt/endodav \
    PYTHONDONTWRITEBYTECODE=1 \
    XDG_CACHE_HOME=/var/cache/endodav
ENV PATH="$VIRTUAL_ENV/bin:$PATH"

RUN useradd --create-home --uid 1000 endodav && install --directory --mode 1777 "$XDG_CACHE_HOME"

# The requirements have a layer of their own, which a change of the code leaves as it is.
WORKDIR /source
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY endodav_jax/version.py endodav_jax/version.py
RUN python -m venv "$VIRTUAL_ENV" && pip install --no-cache-dir ".[onnx,openvino,reconstruct,dicom]" && pip uninstall --yes endodav-jax

COPY configs configs
COPY endodav_jax endodav_jax
RUN pip install --no-cache-dir --no-deps .

USER endodav
WORKDIR /data
ENTRYPOINT ["endodav"]
CMD ["--help"]
