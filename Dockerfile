# Images of both processes. Targets: development, build, api, worker.

FROM rust:1.95-slim-trixie AS toolchain
# Use the image's toolchain regardless of its patch release; rust-toolchain.toml would make rustup download another one.
ENV RUSTUP_TOOLCHAIN=$RUST_VERSION
WORKDIR /src


# Cargo, the test tools and inotify for docker/watch. The source is mounted at /src, so nothing is
# copied; cargo writes to volumes outside of it.
FROM toolchain AS development
RUN apt-get update \
 && apt-get install --yes --no-install-recommends inotify-tools \
 && rm -rf /var/lib/apt/lists/*
RUN if command -v rustup; then rustup component add rustfmt clippy; fi
ENV CARGO_HOME=/cargo CARGO_TARGET_DIR=/target PATH=/target/debug:/cargo/bin:$PATH
ENV API_ADDR=0.0.0.0:8000 OPS_ADDR=0.0.0.0:9090


# Builds both binaries together, as they share most dependencies.
FROM toolchain AS build
COPY . .
# The version reported by the metrics.
ARG VESTIBULE_VERSION=
# `ci` compiles in a third of the time, without optimisation.
ARG PROFILE=release
# The cache mount outlives this checkout, and cargo compares timestamps: an older file of another checkout must not count
# as already compiled. The touch therefore invalidates all workspace crates; only dependencies come from the cache.
RUN --mount=type=cache,target=/usr/local/cargo/registry,id=vestibule-cargo \
    --mount=type=cache,target=/target,id=vestibule-target,sharing=locked \
    find . -type f -exec touch {} + \
 && CARGO_TARGET_DIR=/target cargo build --profile "$PROFILE" --locked -p api -p worker \
 && install -D -t /out "/target/$PROFILE/api" "/target/$PROFILE/worker"


FROM debian:trixie-slim AS release
# A container's own loopback is reachable by nothing else.
ENV API_ADDR=0.0.0.0:8000 OPS_ADDR=0.0.0.0:9090
USER 10001:10001


FROM release AS api
COPY --from=build /out/api /usr/local/bin/
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["api", "health"]
ENTRYPOINT ["api"]


FROM release AS worker
COPY --from=build /out/worker /usr/local/bin/
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s CMD ["worker", "health"]
ENTRYPOINT ["worker"]
