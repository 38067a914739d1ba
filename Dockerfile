# vnet_jax on a processor: docker build -t vnet-jax .
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY configs configs
COPY vnet_jax vnet_jax
RUN python -m venv /opt/vnet && /opt/vnet/bin/pip install --no-cache-dir ".[dicom]"

FROM python:3.12-slim
LABEL org.opencontainers.image.title="vnet_jax" \
      org.opencontainers.image.description="Kidneys and kidney tumours in abdominal CT. Research software, not a medical device." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /opt/vnet /opt/vnet
# Whoever --user names has no home of his own.
ENV PATH=/opt/vnet/bin:$PATH HOME=/tmp PYTHONUNBUFFERED=1
RUN useradd --uid 1000 vnet && install -d -o vnet /work
USER vnet
WORKDIR /work
ENTRYPOINT ["vnet-jax"]
CMD ["--help"]
