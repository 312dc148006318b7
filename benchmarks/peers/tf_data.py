"""The training input as a user of TensorFlow writes it: tf.data, everything left to AUTOTUNE."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf


def batches(path: str, stored: int, frames: int, batch: int, workers: int) -> Iterator[np.ndarray]:
    """Endless uint8 [batch, frames, h, w, 3]: random windows of the clips in a TFRecord file of ours, shuffled."""

    def read(record):
        features = {
            "frames": tf.io.FixedLenFeature([stored], tf.string),
            "landmarks": tf.io.FixedLenFeature([stored, 5, 2], tf.float32),
            "label": tf.io.FixedLenFeature([], tf.int64),
        }
        clip = tf.io.parse_single_example(record, features)
        start = tf.random.uniform([], 0, stored - frames + 1, tf.int32)
        window = tf.unstack(clip["frames"][start : start + frames], frames)
        # The accurate transform, because it is what our decoder does.
        images = [tf.io.decode_jpeg(frame, channels=3, dct_method="INTEGER_ACCURATE") for frame in window]
        return tf.stack(images), clip["landmarks"][start : start + frames], clip["label"]

    data = tf.data.TFRecordDataset(path).repeat().shuffle(64)
    data = data.map(read, num_parallel_calls=tf.data.AUTOTUNE).batch(batch, drop_remainder=True)
    options = tf.data.Options()
    options.threading.private_threadpool_size = workers
    options.deterministic = False
    return (images for images, _, _ in data.prefetch(tf.data.AUTOTUNE).with_options(options).as_numpy_iterator())
