"""Steps of the schema. A file ``NNNN_<what>.py`` has ``revision = "NNNN_<what>"``; each follows the one before."""
