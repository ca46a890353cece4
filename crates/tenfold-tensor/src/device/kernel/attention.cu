// Attention of packed sequences, with sums over keys in one pass (Dao et al. 2022, algorithm 1).
//
// Of every sequence `spans` has four numbers: its first token and how many, its first key and how many. A block has a tile of
// rows of one sequence, of which `tiles` has the sequence and the first row, and one head; lanes are the rows on the other side,
// WARP of them at a time in shared memory. Afterwards lanes are columns. Heads have at most WIDEST columns.

#define WIDEST 128
#define COLUMNS (WIDEST / WARP)
#define WARPS (ROW_THREADS / WARP)
// Rows of a warp, and of a tile.
#define FORWARD 4
#define BACKWARD 2
// Rows that lanes read side by side lie one number apart in the banks.
#define PADDED (WIDEST + 1)

// Copies `count` rows of a head to shared memory.
__device__ __forceinline__ void bring(
    float* to, unsigned step, const float* from, unsigned count, unsigned size, unsigned width) {
    for (unsigned i = threadIdx.x; i < count * size; i += ROW_THREADS)
        to[i / size * step + i % size] = from[(size_t)(i / size) * width + i % size];
}

extern "C" __global__ void attended(
    float* y, float* sums, const float* q, const float* k, const float* v, const unsigned* spans, const unsigned* tiles,
    unsigned heads, unsigned size, unsigned group, unsigned causal, float scale) {
    __shared__ float keys[WARP * PADDED], values[WARP * WIDEST], queries[FORWARD * WARPS * WIDEST];
    unsigned head = blockIdx.y, width = heads * size, read_width = heads / group * size;
    const unsigned* span = spans + 4 * tiles[2 * blockIdx.x];
    unsigned first = tiles[2 * blockIdx.x + 1], tokens = span[1], known = span[3];
    unsigned rows = min(FORWARD * WARPS, tokens - first), warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    const float* own = q + (size_t)(span[0] + first) * width + head * size;
    size_t read = (size_t)span[2] * read_width + head / group * size;
    bring(queries, WIDEST, own, rows, size, width);

    // Row r sees the keys below r + past + 1. With more tokens than keys some see none.
    int past = (int)known - (int)tokens;
    int reach = causal ? min((int)known, (int)(first + rows) + past) : (int)known;
    float got[FORWARD][COLUMNS], largest[FORWARD], sum[FORWARD];
    for (int r = 0; r < FORWARD; ++r) {
        largest[r] = -INFINITY;
        sum[r] = 0.0f;
        for (int u = 0; u < COLUMNS; ++u) got[r][u] = 0.0f;
    }
    for (int start = 0; start < reach; start += WARP) {
        int count = min(WARP, reach - start);
        __syncthreads();
        bring(keys, PADDED, k + read + (size_t)start * read_width, count, size, read_width);
        bring(values, WIDEST, v + read + (size_t)start * read_width, count, size, read_width);
        __syncthreads();
        float scores[FORWARD];
        for (int r = 0; r < FORWARD; ++r) scores[r] = 0.0f;
        if ((int)lane < count) {
            for (unsigned c = 0; c < size; ++c) {
                float key = keys[lane * PADDED + c];
                for (int r = 0; r < FORWARD; ++r) scores[r] += queries[(warp * FORWARD + r) * WIDEST + c] * key;
            }
        }
        for (int r = 0; r < FORWARD; ++r) {
            unsigned row = warp * FORWARD + r;
            bool seen = row < rows && (int)lane < count &&
                        (!causal || start + (int)lane <= (int)(first + row) + past);
            float score = seen ? scores[r] * scale : -INFINITY;
            float top = fmaxf(largest[r], warp_max(score));
            // The same for all lanes: nothing of this tile is seen.
            if (top == -INFINITY) continue;
            float weight = seen ? expf(score - top) : 0.0f, shrink = expf(largest[r] - top);
            largest[r] = top;
            sum[r] = sum[r] * shrink + warp_sum(weight);
            for (int u = 0; u < COLUMNS; ++u) got[r][u] *= shrink;
            for (int j = 0; j < count; ++j) {
                float here = __shfl_sync(0xffffffffu, weight, j);
                for (int u = 0; u < COLUMNS; ++u) {
                    unsigned c = lane + u * WARP;
                    if (c < size) got[r][u] += here * values[j * WIDEST + c];
                }
            }
        }
    }
    for (int r = 0; r < FORWARD; ++r) {
        unsigned row = warp * FORWARD + r;
        if (row >= rows) continue;
        float part = sum[r] > 0.0f ? 1.0f / sum[r] : 0.0f;
        size_t token = span[0] + first + row;
        for (int u = 0; u < COLUMNS; ++u) {
            unsigned c = lane + u * WARP;
            if (c < size) y[token * width + head * size + c] = got[r][u] * part;
        }
        // Of a row that sees nothing every weight is 0 again in the backward pass.
        if (lane == 0) sums[token * heads + head] = sum[r] > 0.0f ? largest[r] + logf(sum[r]) : INFINITY;
    }
}

// Of every token and head, the product of its result and the gradient of that.
extern "C" __global__ void attended_along(unsigned n, float* along, const float* dy, const float* y, unsigned size) {
    unsigned i = element();
    if (i >= n) return;
    float sum = 0.0f;
    for (unsigned c = 0; c < size; ++c) sum += dy[(size_t)i * size + c] * y[(size_t)i * size + c];
    along[i] = sum;
}

extern "C" __global__ void attended_back_queries(
    float* dq, const float* dy, const float* along, const float* sums, const float* q, const float* k, const float* v,
    const unsigned* spans, const unsigned* tiles, unsigned heads, unsigned size, unsigned group, unsigned causal,
    float scale) {
    __shared__ float keys[WARP * PADDED], values[WARP * PADDED];
    __shared__ float queries[BACKWARD * WARPS * WIDEST], pulls[BACKWARD * WARPS * WIDEST];
    unsigned head = blockIdx.y, width = heads * size, read_width = heads / group * size;
    const unsigned* span = spans + 4 * tiles[2 * blockIdx.x];
    unsigned first = tiles[2 * blockIdx.x + 1], tokens = span[1], known = span[3];
    unsigned rows = min(BACKWARD * WARPS, tokens - first), warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    size_t own = (size_t)(span[0] + first) * width + head * size;
    size_t read = (size_t)span[2] * read_width + head / group * size;
    bring(queries, WIDEST, q + own, rows, size, width);
    bring(pulls, WIDEST, dy + own, rows, size, width);

    int past = (int)known - (int)tokens;
    int reach = causal ? min((int)known, (int)(first + rows) + past) : (int)known;
    float got[BACKWARD][COLUMNS];
    for (int r = 0; r < BACKWARD; ++r)
        for (int u = 0; u < COLUMNS; ++u) got[r][u] = 0.0f;
    for (int start = 0; start < reach; start += WARP) {
        int count = min(WARP, reach - start);
        __syncthreads();
        bring(keys, PADDED, k + read + (size_t)start * read_width, count, size, read_width);
        bring(values, PADDED, v + read + (size_t)start * read_width, count, size, read_width);
        __syncthreads();
        float scores[BACKWARD], pulled[BACKWARD];
        for (int r = 0; r < BACKWARD; ++r) scores[r] = pulled[r] = 0.0f;
        if ((int)lane < count) {
            for (unsigned c = 0; c < size; ++c) {
                float key = keys[lane * PADDED + c], value = values[lane * PADDED + c];
                for (int r = 0; r < BACKWARD; ++r) {
                    scores[r] += queries[(warp * BACKWARD + r) * WIDEST + c] * key;
                    pulled[r] += pulls[(warp * BACKWARD + r) * WIDEST + c] * value;
                }
            }
        }
        for (int r = 0; r < BACKWARD; ++r) {
            unsigned row = warp * BACKWARD + r;
            bool seen = row < rows && (int)lane < count &&
                        (!causal || start + (int)lane <= (int)(first + row) + past);
            float slope = 0.0f;
            if (seen) {
                size_t at = (size_t)(span[0] + first + row) * heads + head;
                slope = expf(scores[r] * scale - sums[at]) * (pulled[r] - along[at]) * scale;
            }
            for (int j = 0; j < count; ++j) {
                float here = __shfl_sync(0xffffffffu, slope, j);
                for (int u = 0; u < COLUMNS; ++u) {
                    unsigned c = lane + u * WARP;
                    if (c < size) got[r][u] += here * keys[j * PADDED + c];
                }
            }
        }
    }
    for (int r = 0; r < BACKWARD; ++r) {
        unsigned row = warp * BACKWARD + r;
        for (int u = 0; u < COLUMNS; ++u) {
            unsigned c = lane + u * WARP;
            if (row < rows && c < size) dq[own + (size_t)row * width + c] = got[r][u];
        }
    }
}

// Tiles are of keys here, heads those of keys; all heads that read the same keys are added up.
extern "C" __global__ void attended_back_keys(
    float* dk, float* dv, const float* dy, const float* along, const float* sums, const float* q, const float* k,
    const float* v, const unsigned* spans, const unsigned* tiles, unsigned heads, unsigned size, unsigned group,
    unsigned causal, float scale) {
    __shared__ float queries[WARP * PADDED], pulls[WARP * PADDED];
    __shared__ float keys[BACKWARD * WARPS * WIDEST], values[BACKWARD * WARPS * WIDEST];
    unsigned width = heads * size, read_width = heads / group * size;
    const unsigned* span = spans + 4 * tiles[2 * blockIdx.x];
    unsigned first = tiles[2 * blockIdx.x + 1], tokens = span[1], known = span[3];
    unsigned rows = min(BACKWARD * WARPS, known - first), warp = threadIdx.x / WARP, lane = threadIdx.x % WARP;
    size_t own = (size_t)(span[2] + first) * read_width + blockIdx.y * size;
    bring(keys, WIDEST, k + own, rows, size, read_width);
    bring(values, WIDEST, v + own, rows, size, read_width);

    int past = (int)known - (int)tokens;
    // Tokens before see none of these keys.
    int begin = causal ? max(0, (int)first - past) / WARP * WARP : 0;
    float to_key[BACKWARD][COLUMNS], to_value[BACKWARD][COLUMNS];
    for (int r = 0; r < BACKWARD; ++r)
        for (int u = 0; u < COLUMNS; ++u) to_key[r][u] = to_value[r][u] = 0.0f;
    for (unsigned member = 0; member < group; ++member) {
        unsigned head = blockIdx.y * group + member;
        for (int start = begin; start < (int)tokens; start += WARP) {
            int count = min(WARP, (int)tokens - start);
            size_t other = (size_t)(span[0] + start) * width + head * size;
            __syncthreads();
            bring(queries, PADDED, q + other, count, size, width);
            bring(pulls, PADDED, dy + other, count, size, width);
            __syncthreads();
            float scores[BACKWARD], pulled[BACKWARD];
            for (int r = 0; r < BACKWARD; ++r) scores[r] = pulled[r] = 0.0f;
            if ((int)lane < count) {
                for (unsigned c = 0; c < size; ++c) {
                    float query = queries[lane * PADDED + c], pull = pulls[lane * PADDED + c];
                    for (int r = 0; r < BACKWARD; ++r) {
                        scores[r] += query * keys[(warp * BACKWARD + r) * WIDEST + c];
                        pulled[r] += pull * values[(warp * BACKWARD + r) * WIDEST + c];
                    }
                }
            }
            for (int r = 0; r < BACKWARD; ++r) {
                int row = (int)(first + warp * BACKWARD + r);
                bool seen = row < (int)(first + rows) && (int)lane < count &&
                            (!causal || row <= start + (int)lane + past);
                float weight = 0.0f, slope = 0.0f;
                if (seen) {
                    size_t at = (size_t)(span[0] + start + lane) * heads + head;
                    weight = expf(scores[r] * scale - sums[at]);
                    slope = weight * (pulled[r] - along[at]) * scale;
                }
                for (int j = 0; j < count; ++j) {
                    float share = __shfl_sync(0xffffffffu, weight, j), steep = __shfl_sync(0xffffffffu, slope, j);
                    for (int u = 0; u < COLUMNS; ++u) {
                        unsigned c = lane + u * WARP;
                        if (c < size) {
                            to_value[r][u] += share * pulls[j * PADDED + c];
                            to_key[r][u] += steep * queries[j * PADDED + c];
                        }
                    }
                }
            }
        }
    }
    for (int r = 0; r < BACKWARD; ++r) {
        unsigned row = warp * BACKWARD + r;
        for (int u = 0; u < COLUMNS; ++u) {
            unsigned c = lane + u * WARP;
            if (row < rows && c < size) {
                dk[own + (size_t)row * read_width + c] = to_key[r][u];
                dv[own + (size_t)row * read_width + c] = to_value[r][u];
            }
        }
    }
}
