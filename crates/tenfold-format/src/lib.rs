//! Model sources, safetensors, tokenizers, configs and manifests.
