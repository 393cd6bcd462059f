# docker build -t postern .      What to mount and set: docs/operations.md
FROM node:24-bookworm-slim AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts scripts
COPY src src
RUN node scripts/build.ts && npm prune --omit=dev --ignore-scripts

FROM node:24-bookworm-slim
ENV NODE_ENV=production POSTERN_HOME=/var/lib/postern POSTERN_LOG_FORMAT=json POSTERN_NO_BROWSER=1
WORKDIR /opt/postern
COPY --from=build /src/node_modules node_modules
COPY --from=build /src/dist dist
COPY package.json LICENSE README.md CHANGELOG.md ./
RUN install -d -o node -g node -m 0700 /var/lib/postern && ln -s /opt/postern/dist/cli/main.js /usr/local/bin/postern
USER node
VOLUME /var/lib/postern
EXPOSE 993 995 465 587
HEALTHCHECK --interval=15s --timeout=8s --start-period=10s CMD ["postern", "ready"]
ENTRYPOINT ["postern"]
CMD ["serve"]
