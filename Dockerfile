# Two stages: one with compilers, whose only products are dist/ and the production node_modules, and
# the image itself. Both bases are arguments, so that a machine without a registry can build on an
# imported root that holds Node.js.
ARG BASE_IMAGE=node:20-bookworm
ARG RUN_IMAGE=node:20-bookworm-slim

FROM ${BASE_IMAGE} AS build
WORKDIR /build
# The distance functions of the index run a fifth faster with AVX2. A processor without it
# (before 2013) needs TARGET_CPU=x86-64; names of x64 processors mean nothing to others.
ARG TARGET_CPU=x86-64-v3
COPY package.json package-lock.json ./
COPY scripts/build-addon.mjs scripts/
# The index library is compiled once, for the target; npm itself would take the oldest processor.
# Both native packages are optional to npm, which leaves out what it cannot have: not in an image.
RUN npm ci --no-audit --no-fund --ignore-scripts \
 && npm rebuild --no-audit --no-fund classic-level \
 && node -e "require('level')" \
 && npm run build:addon
COPY tsconfig.json tsconfig.build.json ./
COPY src ./src
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM ${RUN_IMAGE}
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Flotilla" \
      org.opencontainers.image.description="A self-hosted, distributed vector store for TypeScript" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
RUN groupadd --system --gid 7700 flotilla \
 && useradd --system --uid 7700 --gid flotilla --home-dir /var/lib/flotilla flotilla \
 && mkdir -p /var/lib/flotilla \
 && chown flotilla:flotilla /var/lib/flotilla
WORKDIR /opt/flotilla
COPY --from=build /build/node_modules ./node_modules
COPY --from=build /build/dist ./dist
COPY package.json LICENSE ./
COPY proto ./proto
# The syncs of the log and of all point stores share one pool of threads; its default is four.
ENV NODE_ENV=production \
    UV_THREADPOOL_SIZE=16 \
    PATH=/opt/flotilla/bin:$PATH \
    FLOTILLA_NODE__DIR=/var/lib/flotilla
RUN mkdir bin && ln -s ../dist/cli/main.js bin/flotilla && chmod 755 dist/cli/main.js
USER flotilla
VOLUME /var/lib/flotilla
EXPOSE 7700 7701 7702
STOPSIGNAL SIGTERM
# Alive, not ready: a node that waits for the others must not be restarted for it.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s --retries=5 \
  CMD ["node", "-e", "require('node:http').get('http://127.0.0.1:7702/healthz', (answer) => process.exit(answer.statusCode === 200 ? 0 : 1)).on('error', () => process.exit(1))"]
ENTRYPOINT ["flotilla"]
CMD ["node"]
