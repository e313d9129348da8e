# The service, and the one-shot composer that docker-compose.yml runs (target `supergraph`).

FROM node:24-slim AS page
WORKDIR /build
COPY web/graphiql/package.json web/graphiql/package-lock.json web/graphiql/
RUN npm ci --prefix web/graphiql --ignore-scripts --no-audit --no-fund
COPY web/graphiql web/graphiql
RUN node web/graphiql/build.mjs

FROM node:24-slim AS supergraph
WORKDIR /composer
COPY docker/supergraph/package.json docker/supergraph/package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund \
  && mkdir /supergraph \
  && chown node:node /supergraph
COPY docker/supergraph/compose.mjs ./
USER node
ENTRYPOINT ["node", "compose.mjs"]

FROM python:3.13-slim AS packages
RUN python -m venv /opt/venv
COPY requirements.lock ./
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock

# The skills' components. A C compiler makes them the bytes that skills/digests.json has on record.
FROM packages AS skills
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY --from=node:24-slim /usr/local/bin/node /usr/local/bin/node
COPY --from=node:24-slim /usr/local/lib/node_modules /usr/local/lib/node_modules
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm
WORKDIR /build
COPY toolchain/package.json toolchain/package-lock.json toolchain/.npmrc toolchain/
RUN npm ci --prefix toolchain --ignore-scripts --no-audit --no-fund
COPY pyproject.toml ./
COPY toolchain toolchain
COPY schema schema
COPY subgraph subgraph
COPY skills skills
RUN for source in skills/*/*/src/index.ts; do \
      /opt/venv/bin/python -m subgraph.cli.app build --quiet --no-aot "$(dirname "$source")" || exit 1; \
    done

FROM python:3.13-slim AS service
RUN useradd --uid 10001 --create-home --home-dir /var/lib/cyberos --shell /usr/sbin/nologin cyberos
COPY --from=packages /opt/venv /opt/venv
WORKDIR /app
COPY sql sql
COPY schema schema
COPY --from=skills /build/skills skills
COPY subgraph subgraph
COPY --from=page /build/subgraph/api/static subgraph/api/static
# Byte code is made here: the root file system is read-only where this runs.
RUN python -m compileall -q subgraph /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CYBEROS_HOME=/var/lib/cyberos
USER cyberos
VOLUME /var/lib/cyberos
EXPOSE 8000
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=6 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["python", "-m", "subgraph"]
