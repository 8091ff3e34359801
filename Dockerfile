# A search on a machine without GPUs, or predictions. From the project's folder:
#
#     docker build -t little-data-tuner .
#     docker run --rm -it -v "$PWD:/work" little-data-tuner --data pictures
#     docker run --rm -v "$PWD:/work" little-data-tuner predict runs/NAME new
FROM python:3.12-slim
RUN useradd --create-home --uid 1000 tuner
WORKDIR /opt/little-data-tuner
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY tuning tuning
COPY models models
COPY search_spaces search_spaces
RUN pip install --no-cache-dir -c constraints.txt '.[serve]'
USER 1000
WORKDIR /work
ENTRYPOINT ["little-data-tuner"]
