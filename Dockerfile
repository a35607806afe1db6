# postern with the rsync and borg of Debian, and nothing else.
#
#   docker build -t postern .
#   docker run --rm -v postern-etc:/etc/postern -v postern-state:/var/lib/postern postern init
#   docker run -d --name postern --init --read-only --tmpfs /tmp --cap-drop ALL \
#       --security-opt no-new-privileges -p 2222:2222 \
#       -v postern-etc:/etc/postern -v postern-state:/var/lib/postern \
#       -v /volume1/Backups:/volume1/Backups postern
#
# To let backups finish for longer than drain's default of 5 seconds when it stops, set
# drain in postern.yaml, and --stop-timeout to 15 seconds more.
#
# The container's user is 10022, and /volume1/Backups must belong to it; or name
# another one with --user and give it both volumes.

FROM golang:1.26.8 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /postern ./cmd/postern

FROM debian:trixie-slim
# The health check needs bash, for its /dev/tcp; Debian's base has it.
RUN apt-get update \
 && apt-get install -y --no-install-recommends borgbackup rsync \
 && rm -rf /var/lib/apt/lists/* \
 && groupadd --system --gid 10022 postern \
 && useradd --system --uid 10022 --gid 10022 --home-dir /nonexistent --shell /usr/sbin/nologin postern \
 && install -d -o postern -g postern -m 700 /etc/postern /var/lib/postern
COPY --from=build /postern /usr/local/bin/postern
USER 10022:10022
EXPOSE 2222
STOPSIGNAL SIGTERM
VOLUME ["/etc/postern", "/var/lib/postern"]
# Healthy is a gateway that greets: it listens, accepts and speaks SSH.
HEALTHCHECK --interval=1m --timeout=10s --start-period=10s --retries=3 \
    CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/2222 && read -r -t 5 line <&3 && [[ $line == SSH-2.0-* ]]"]
ENTRYPOINT ["/usr/local/bin/postern"]
CMD ["serve"]
