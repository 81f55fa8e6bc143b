# The service, on CPU. Mount the run at /run/unimp and its data at /data; events are kept in the volume /store.
FROM python:3.12-slim
WORKDIR /app
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN pip install --no-cache-dir '.[postgres]' && useradd --system unimp && mkdir /store && chown unimp /store
USER unimp
VOLUME /store
EXPOSE 8000
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz')"]
ENV UNIMP_STORE=sqlite:////store/store.db
ENTRYPOINT ["unimp"]
CMD ["serve", "/run/unimp", "--data", "/data", "--host", "0.0.0.0"]
