# vLLM's own router (Apache-2.0), which spreads calls over replicas of one model.
FROM python:3.11-slim-bookworm
RUN pip install --no-cache-dir vllm-router==0.1.17 && useradd --system router
USER router
EXPOSE 8000
