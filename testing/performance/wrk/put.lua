-- PUT of bodies that all differ, as `gwsmoke cross-check` has it measured; prints one line of JSON
-- when it is done.
--
--   SIZE=65536 wrk -t1 -c32 -d5s -s testing/performance/wrk/put.lua http://127.0.0.1:8080/put
--
-- SIZE in the environment is that of a body, 16 bytes at least. TOKEN is presented as a bearer's.

local threads = 0

-- Told apart by their thread, and by the run they are of.
function setup(thread)
  thread:set("first", threads * 2 ^ 40 + os.time() % 2 ^ 20 * 2 ^ 20)
  threads = threads + 1
end

local number, rest = 0, ""

function init()
  local size = tonumber(os.getenv("SIZE") or "65536")
  -- Bytes that do not compress well, the same for all: what differs is in front of them.
  math.randomseed(1)
  local bytes = {}
  for at = 1, size - 16 do
    bytes[at] = string.char(math.random(0, 255))
  end
  rest = table.concat(bytes)
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/octet-stream"
  local token = os.getenv("TOKEN")
  if token and token ~= "" then
    wrk.headers["Authorization"] = "Bearer " .. token
  end
end

function request()
  number = number + 1
  return wrk.format(nil, nil, nil, string.format("%016.0f", first + number) .. rest)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"seconds":%.6f,"requests":%d,"errors":%d,"p50_ms":%.4f,"p99_ms":%.4f}\n',
    summary.duration / 1e6, summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
