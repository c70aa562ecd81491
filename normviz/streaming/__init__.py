"""Tensors that are not in memory: files, iterables of chunks, dask arrays; and Batch Norm over several devices.

Each part gives count, mean and M2, and these merge into those of the whole tensor, wherever it was cut. `moments`,
`sweep`, `statistics` and `RunningStatistics.update` take, wherever they take an array:

- the path of a .npy, .npz or .safetensors file, or a binary file object with one: read in pieces of 4 MB into one
  buffer. `key=` names one of several arrays. bfloat16 of .safetensors becomes float32. Only .npz needs a seekable file;
- an iterable of chunks (n, C, *spatial): a generator, another iterator of arrays, or an object that can be iterated
  over but not indexed, such as a torch DataLoader of plain tensors. A list or a tuple is an array. The first chunk is
  chunk 0 in messages;
- a dask array, worked on by dask's own scheduler. `normalize` of one stays lazy.

A memory map is an array, and no copy is made of it. Several files are an iterable of those:
`nv.moments(np.load(path, mmap_mode="r") for path in paths)`.

Synchronized Batch Norm (torch.nn.SyncBatchNorm) merges the moments that each device has of its own samples:

>>> import numpy as np
>>> from normviz import Moments, moments, normalize
>>> x = np.arange(24.0).reshape(4, 2, 3)
>>> devices = [x[:1], x[1:]]  # batches may be uneven
>>> shared = Moments.concatenate(moments(part) for part in devices).pool("batch")
>>> y = [normalize(part, "batch", statistics=shared) for part in devices]
>>> np.allclose(np.concatenate(y), normalize(x, "batch"))
True
"""
