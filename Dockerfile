# Watchword in a container: one program, no shell, no package manager, no root.
#
#   docker build -t watchword .
#   scripts/image                 builds it, and walks one verification through it, locked down
#
# Base images, by tag and digest, here and nowhere else. A tag moves, the digest does not: to take what a tag
# is now, put in the `Digest:` that `docker buildx imagetools inspect TAG` prints. The release of Debian has to
# be the same for both, so that the program finds the C library it was linked with.
ARG RUST_IMAGE=docker.io/library/rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082
ARG RUNTIME_IMAGE=gcr.io/distroless/cc-debian12:nonroot@sha256:9dac0a79194e45a7da0158a9c6da57b217585af0786db3845d1f0ec1a0dd182f

# What others wrote. This layer is built again only when a manifest, the lock file or cargo's settings change.
FROM ${RUST_IMAGE} AS dependencies
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY .cargo/config.toml .cargo/
COPY bench/Cargo.toml bench/
COPY xtask/Cargo.toml xtask/
COPY crates/core/Cargo.toml crates/core/
COPY crates/http/Cargo.toml crates/http/
COPY crates/providers/Cargo.toml crates/providers/
COPY crates/stand-ins/Cargo.toml crates/stand-ins/
COPY crates/stores/Cargo.toml crates/stores/
COPY crates/watchword/Cargo.toml crates/watchword/
# Empty crates in the place of ours.
RUN for crate in bench xtask crates/*; do \
      mkdir "$crate/src" && : > "$crate/src/lib.rs" && echo 'fn main() {}' > "$crate/src/main.rs" || exit 1; \
    done \
    # The manifest names it.
    && mkdir crates/stores/examples && : > crates/stores/examples/bare.rs \
    && cargo build --release --locked --package watchword \
    && rm -r crates/*/src

# What we wrote. Sources come with the times of their last change; cargo has to find them newer than
# the empty ones.
FROM dependencies AS build
COPY crates crates
RUN find crates -name '*.rs' -exec touch '{}' + \
    && cargo build --release --locked --package watchword \
    && install -D -m 0755 target/release/watchword /out/bin/watchword \
    # For group 0, too: some platforms run images as any user of that group.
    && install -d -m 0770 /out/lib/watchword

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="Watchword" \
      org.opencontainers.image.description="A self-hosted verification server: one-time codes over WhatsApp, SMS, email and voice" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/bin/ /usr/local/bin/
COPY --from=build --chown=65532:0 /out/lib/ /var/lib/
# Every command reads the watchword.toml that is mounted here. What is kept goes to /var/lib/watchword.
WORKDIR /etc/watchword
USER 65532:65532
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["/usr/local/bin/watchword", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/watchword"]
CMD ["serve"]
