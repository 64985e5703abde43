# One image, two targets: `slim` (scrape, control, web, Flower, migrations: no torch) and `torch`
# (gpu, cpu, train). Dependencies are layers of their own, from the locks with their hashes.
#   docker build --target slim -t afin:slim .
#   docker build --target torch -t afin:torch .

FROM python:3.11.13-slim-bookworm AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
WORKDIR /build
COPY requirements/uv.txt requirements/
RUN python -m venv /uv && /uv/bin/pip install --quiet --require-hashes -r requirements/uv.txt
RUN python -m venv /venv

FROM build AS build-slim
COPY requirements/slim.txt requirements/
RUN /uv/bin/uv pip sync --quiet --compile-bytecode --require-hashes --python /venv/bin/python requirements/slim.txt
COPY . .
RUN /uv/bin/uv pip install --quiet --no-deps --no-build-isolation --compile-bytecode --python /venv/bin/python .

FROM build AS build-torch
COPY requirements/runtime.txt requirements/
RUN /uv/bin/uv pip sync --quiet --compile-bytecode --require-hashes --python /venv/bin/python requirements/runtime.txt
COPY . .
RUN /uv/bin/uv pip install --quiet --no-deps --no-build-isolation --compile-bytecode --python /venv/bin/python .

FROM python:3.11.13-slim-bookworm AS base
RUN useradd --uid 10001 --create-home afin && mkdir /data && chown afin:afin /data
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    AFIN_DATA_DIR=/data AFIN_HEALTH_FILE=/tmp/afin.alive
VOLUME /data
USER afin
WORKDIR /home/afin
# A worker renews the file while it hears from the broker.
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s --retries=4 \
    CMD find /tmp/afin.alive -mmin -1 | grep -q .
ENTRYPOINT ["afin"]
CMD ["--help"]

FROM base AS slim
COPY --from=build-slim /venv /venv

FROM base AS torch
# OpenMP, which torch and scikit-learn load.
USER root
RUN apt-get update && apt-get install -y --no-install-recommends libgomp1 && rm -rf /var/lib/apt/lists/*
USER afin
COPY --from=build-torch /venv /venv
