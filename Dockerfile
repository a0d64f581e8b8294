# syntax=docker/dockerfile:1
# docker build -t hoistream:cpu .                  the CPU image: OpenVINO, no torch
# docker build -t hoistream:gpu --target gpu .     the NVIDIA image: TensorRT, no torch
# Runs as user 10001 and needs no writable root file system: mount /tmp (tmpfs), /var/lib/hoistream (spool) and
# /var/cache/hoistream (engines, classifiers). See docker-compose.yml.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS source
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY hoiclip ./hoiclip
COPY engines ./engines
COPY stream ./stream
COPY hoistream ./hoistream
COPY models/demo.bundle ./models/demo.bundle
COPY assets ./assets
COPY configs ./configs

FROM source AS build-cpu
RUN python -m venv /opt/hoistream \
 && /opt/hoistream/bin/pip install --no-cache-dir '.[run,demo]'

FROM source AS build-gpu
# TensorRT's libraries come from its vendor's index: --build-arg NVIDIA_INDEX=…
ARG NVIDIA_INDEX=""
RUN python -m venv /opt/hoistream \
 && /opt/hoistream/bin/pip install --no-cache-dir ${NVIDIA_INDEX:+--extra-index-url "$NVIDIA_INDEX"} '.[run,demo,tensorrt]'

FROM python:${PYTHON}-slim AS runtime
RUN useradd --uid 10001 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin hoistream \
 && install -d -o 10001 -g 10001 /var/lib/hoistream /var/cache/hoistream
ENV PATH=/opt/hoistream/bin:$PATH \
    HOME=/tmp \
    MPLCONFIGDIR=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    XDG_STATE_HOME=/var/lib \
    HOISTREAM_CACHE=/var/cache/hoistream
VOLUME ["/var/lib/hoistream", "/var/cache/hoistream"]
WORKDIR /etc/hoistream
USER 10001:10001
ENTRYPOINT ["hoistream"]
CMD ["--help"]

FROM runtime AS gpu
ENV NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility,video
COPY --from=build-gpu /opt/hoistream /opt/hoistream

FROM runtime AS cpu
COPY --from=build-cpu /opt/hoistream /opt/hoistream
