-- The load on the service, for wrk: `wrk … -s load.lua URL -- profile|booking TOKENS FIRST PROVIDERS`.
--
-- TOKENS has a customer's token per line. FIRST is the number of the first booking: each next number is
-- another pair of customer and provider, so that none is refused for an open job.

local head = "Host: bench\r\nAuthorization: Bearer "
local tokens, number, providers, make = {}, 0, 0, nil

function init(args)
    for token in io.lines(args[2]) do
        tokens[#tokens + 1] = token
    end
    number, providers = tonumber(args[3]), tonumber(args[4])
    make = assert(({ profile = profile, booking = booking })[args[1]], "profile or booking")
end

function request()
    return make()
end

function profile()
    number = number + 1
    return "GET /customer/profile HTTP/1.1\r\n" .. head .. tokens[number % #tokens + 1] .. "\r\n\r\n"
end

-- The same arithmetic as the bench's pgbench script, which has the other half of the providers.
function booking()
    number = number + 1
    local customer = number % #tokens
    local provider = (customer + math.floor(number / #tokens)) % providers
    local body = '{"serviceId":1000000,"providerId":' .. 2000000 + provider
        .. ',"zipcode":"10001","location":"5 Main Street, Apt 3","answers":{"Rooms":"3","Pets":"none"}'
        .. ',"preferredDate":"' .. os.getenv("PREFERRED_DATE")
        .. '","customerBudget":150,"inPersonVisitCost":25,"requiresInPersonVisit":true'
        .. ',"images":["https://images.example/1.jpg"],"projectSizeSqft":900}'
    return "POST /customer/booking HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: " .. #body .. "\r\n"
        .. head .. tokens[customer + 1] .. "\r\n\r\n" .. body
end

function done(summary)
    local errors = summary.errors
    print(string.format("bench: %d %.3f %d", summary.requests, summary.duration / 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
