# Fairlead's image: one static binary on nothing.
#
#   make image                                    the binary built on this machine; pulls nothing
#   docker build -t fairlead:local .              everything from source, in golang:1.26
#
# Stages that pull come last: the legacy builder builds every stage up to its
# --target, and "local" must work on a machine without a registry.

FROM scratch AS base
# By this label one proxy knows another on the same engine.
LABEL org.opencontainers.image.title=fairlead
# The binary looks for this file to know that its data directory is a volume.
COPY scripts/image/fairlead-image /.fairlead-image
# Owned by the uid the process drops to, so that a new volume is as well.
COPY --chown=65532:65532 scripts/image/data/ /var/lib/fairlead/
VOLUME /var/lib/fairlead
EXPOSE 80 443
# No USER: the process opens its listeners and its data directory as root and
# then drops to uid 65532 by itself. SECURITY.md says how to run it as another.
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/fairlead", "health"]
ENTRYPOINT ["/fairlead"]
CMD ["run"]

FROM base AS local
COPY bin/fairlead /fairlead

FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=dev
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /fairlead ./cmd/fairlead

FROM base AS image
COPY --from=build /fairlead /fairlead
