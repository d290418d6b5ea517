"""SCRFD and ArcFace as insightface runs them, on onnxruntime."""
