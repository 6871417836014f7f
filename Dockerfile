# syntax=docker/dockerfile:1
# A static binary in an empty image: no shell, no package manager, no C library to patch.

FROM rust:1.95-slim-bookworm AS build
RUN apt-get update \
 && apt-get install --yes --no-install-recommends ca-certificates gcc libc6-dev \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY . .
# glibc can be linked statically with the toolchain as it is; its resolver has had no plugins to load since 2.34.
# An explicit target keeps the flag away from build scripts and procedural macros, which must stay dynamic.
ENV RUSTFLAGS="-C target-feature=+crt-static"
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    target="$(uname -m)-unknown-linux-gnu" \
 && cargo build --locked --release --package loadline --bin loadline --target "$target" \
 && install -D -m 0755 "target/$target/release/loadline" /image/loadline \
 && install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /image/etc/ssl/certs/ca-certificates.crt

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=
LABEL org.opencontainers.image.title="loadline" \
      org.opencontainers.image.description="Keeps services above their load line: a Kubernetes operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The certificates are for telemetry sources with public ones; the API server's CA comes with the pod's token.
COPY --from=build /image/ /
# A number, so that runAsNonRoot can be checked; the chart sets the same.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/loadline"]
CMD ["run"]
