# The service, on CPU. Mount the run at /run/unimp and its data at /data; events are kept in the volume /store.
FROM python:3.12-slim
WORKDIR /app
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY src src
# The usual torch brings five gigabytes of CUDA along; --build-arg TORCH_INDEX=URL names an index of CPU builds.
ARG TORCH_INDEX=
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -c constraints.txt '.[postgres]'
RUN useradd --system unimp && mkdir /store && chown unimp /store
USER unimp
VOLUME /store
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz')"]
ENV UNIMP_STORE=sqlite:////store/store.db
ENTRYPOINT ["unimp"]
CMD ["serve", "/run/unimp", "--data", "/data", "--host", "0.0.0.0"]
