-- GET, as `gwsmoke cross-check` has it measured; prints one line of JSON when it is done.
--
--   wrk -t1 -c32 -d5s -s testing/performance/wrk/get.lua http://127.0.0.1:8080/o/b3:ADDRESS
--
-- PATHS in the environment names a file with a path on each line, asked for in turn; without it, it
-- is the path of the URL. TOKEN is presented as a bearer's.

local requests, number

local function headers()
  local token = os.getenv("TOKEN")
  if token and token ~= "" then
    wrk.headers["Authorization"] = "Bearer " .. token
  end
end

function init()
  headers()
  local paths = os.getenv("PATHS")
  if not paths or paths == "" then return end
  requests, number = {}, 0
  for path in io.lines(paths) do
    requests[#requests + 1] = wrk.format("GET", path)
  end
  -- wrk asks for a request by this name alone, and spares itself the call where there is none.
  function request()
    number = number % #requests + 1
    return requests[number]
  end
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '{"seconds":%.6f,"requests":%d,"errors":%d,"p50_ms":%.4f,"p99_ms":%.4f}\n',
    summary.duration / 1e6, summary.requests,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
