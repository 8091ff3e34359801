# A search on a machine with NVIDIA GPUs, whose driver the machine has. From the project's folder:
#
#     docker build -f gpu.Dockerfile -t little-data-tuner-gpu .
#     docker run --rm -it --gpus all -v "$PWD:/work" little-data-tuner-gpu --data pictures
FROM python:3.12-slim
RUN useradd --create-home --uid 1000 tuner
WORKDIR /opt/little-data-tuner
COPY pyproject.toml constraints.txt README.md LICENSE ./
COPY tuning tuning
COPY models models
COPY search_spaces search_spaces
RUN pip install --no-cache-dir -c constraints.txt '.[gpu,serve]'
USER 1000
WORKDIR /work
ENTRYPOINT ["little-data-tuner"]
