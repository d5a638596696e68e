-- The calls of wrk, and their figures as one line of JSON.
local body = assert(io.open(os.getenv("BENCH_BODY"), "rb"))
wrk.method = "POST"
wrk.body = body:read("*a")
body:close()
for name, value in os.getenv("BENCH_HEADERS"):gmatch("([^:\n]+): ([^\n]+)") do
  wrk.headers[name] = value
end

function done(summary, latency)
  local failed = summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.status + summary.errors.timeout
  print(string.format(
    '{"completed": %d, "failed": %d, "per_second": %.1f, "p50_us": %d, "p99_us": %d}',
    summary.requests, failed, (summary.requests - summary.errors.status) / (summary.duration / 1e6),
    latency:percentile(50), latency:percentile(99)))
end
