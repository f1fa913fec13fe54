"""An NVIDIA driver that lists cards and does nothing else, and empty libraries with the names of CUDA's; needs gcc."""

import subprocess
from pathlib import Path

# What TensorFlow asks the driver before it counts a card, and compute capability 8.6 (attributes 75 and 76).
CUDA = """
#include <stdio.h>
#include <string.h>
int cuInit(unsigned flags) { return 0; }
int cuDriverGetVersion(int *version) { *version = 12090; return 0; }
int cuDeviceGetCount(int *count) { *count = 1; return 0; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetName(char *name, int length, int device) { snprintf(name, length, "Pretended RTX"); return 0; }
int cuDeviceGetAttribute(int *value, int attribute, int device)
{ *value = attribute == 75 ? 8 : attribute == 76 ? 6 : 32; return 0; }
int cuDeviceTotalMem_v2(size_t *bytes, int device) { *bytes = 8ul << 30; return 0; }
int cuDeviceGetPCIBusId(char *text, int length, int device) { snprintf(text, length, "0000:01:00.0"); return 0; }
int cuDeviceGetUuid_v2(char *text, int device) { memset(text, 0, 16); return 0; }
int cuDevicePrimaryCtxGetState(int device, unsigned *flags, int *active) { *flags = *active = 0; return 0; }
int cuGetErrorName(int error, const char **text) { *text = "pretended"; return 0; }
int cuGetErrorString(int error, const char **text) { *text = "pretended"; return 0; }
"""

# CARDS in the environment lists the compute capabilities, as "86 75"; without it nothing answers.
NVML = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static const char *cards(void) { return getenv("CARDS"); }
int nvmlInit_v2(void) { return cards() ? 0 : 9; }
int nvmlShutdown(void) { return 0; }
int nvmlSystemGetDriverVersion(char *text, unsigned length) { snprintf(text, length, "575.64.03"); return 0; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = (strlen(cards()) + 1) / 3; return 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) { *device = (void *)(cards() + 3 * index); return 0; }
int nvmlDeviceGetName(void *device, char *text, unsigned length) { snprintf(text, length, "Pretended RTX"); return 0; }
int nvmlDeviceGetCudaComputeCapability(const char *device, int *major, int *minor)
{ *major = device[0] - '0'; *minor = device[1] - '0'; return 0; }
"""

LIBRARIES = ["cudart.so.12", "cublas.so.12", "cublasLt.so.12", "cufft.so.11", "cusolver.so.11", "cusparse.so.12"]
LIBRARIES = [f"lib{name}" for name in (*LIBRARIES, "cudnn.so.9")]


def build(folder):
    """Writes the libraries into `folder`, which LD_LIBRARY_PATH then names."""
    sources = {"libcuda.so.1": CUDA, "libnvidia-ml.so.1": NVML, **dict.fromkeys(LIBRARIES, "")}
    for name, source in sources.items():
        command = ["gcc", "-w", "-shared", "-fPIC", "-o", Path(folder) / name, "-x", "c", "-"]
        subprocess.run(command, input=source, text=True, check=True)
