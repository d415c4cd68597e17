FROM python:3.13-slim

# Code compiled for a generic CPU when the image is built runs on whatever machine starts it.
ENV NUMBA_CPU_NAME=generic \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    PORT=8050

WORKDIR /app
COPY requirements.txt ./
RUN pip install --require-hashes -r requirements.txt

COPY pyproject.toml README.md LICENSE ./
COPY assets ./assets
COPY docs/glossary.md ./docs/glossary.md
COPY mmuviz ./mmuviz
RUN pip install --no-deps --no-build-isolation .

# Compiled as the user who runs it, who alone finds the cache in its home folder.
RUN useradd --create-home --uid 10001 mmuviz
USER mmuviz
RUN mmuviz warm

EXPOSE 8050
CMD ["mmuviz", "serve"]
