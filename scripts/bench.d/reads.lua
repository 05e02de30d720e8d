-- The ten reads, for wrk: `wrk … -s reads.lua URL -- READ TOKENS PROVIDERS`. The ids are those of marketplace.sql.
--
-- TOKENS has lines `customer NUMBER TOKEN` and `provider NUMBER TOKEN`.

local people = { customer = {}, provider = {} }
local make, customers, zip_codes

local function get(path, who)
    return "GET " .. path .. " HTTP/1.1\r\nHost: bench\r\n" .. (who and "Authorization: Bearer " .. who.token .. "\r\n" or "") .. "\r\n"
end

local function any(role)
    return people[role][math.random(#people[role])]
end

-- A job of this customer's: each has five.
local function job(customer)
    return 5000000 + customer.number + customers * math.random(0, 4)
end

local reads = {
    search = function()
        return get("/services/search?query=roof&zipcode=" .. 20000 + math.random(0, zip_codes - 1))
    end,
    offers = function()
        local provider = any("provider").number
        return get("/services/" .. 3000000 + provider % 200 .. "/providers?zipcode=" .. 20000 + provider * 7 % zip_codes)
    end,
    provider_page = function()
        return get("/providers/seed-business-" .. 3000000 + any("provider").number)
    end,
    dashboard = function()
        return get("/customers/dashboard", any("customer"))
    end,
    customers_jobs = function()
        return get("/customer/jobs", any("customer"))
    end,
    customers_job = function()
        local customer = any("customer")
        return get("/customers/jobs/" .. job(customer), customer)
    end,
    providers_jobs = function()
        return get("/provider/jobs", any("provider"))
    end,
    chats = function()
        return get("/chat/customer/chats", any("customer"))
    end,
    messages = function()
        local customer = any("customer")
        return get(string.format("/chat/019a0000-0000-7000-8000-%012d/messages", job(customer)), customer)
    end,
    notifications = function()
        return get("/notifications", any("customer"))
    end,
}

function init(args)
    make = assert(reads[args[1]], "one of the ten reads")
    local providers = tonumber(args[3])
    customers, zip_codes = 2 * providers, math.max(1, math.floor(providers / 10))
    for line in io.lines(args[2]) do
        local role, number, token = line:match("^(%a+) (%d+) (%S+)$")
        table.insert(people[role], { number = tonumber(number), token = token })
    end
    math.randomseed(1)
end

function request()
    return make()
end

function done(summary, latency)
    local errors = summary.errors
    print(string.format("bench: %d %.3f %d %d %d", summary.requests, summary.duration / 1e6,
        errors.connect + errors.read + errors.write + errors.status + errors.timeout,
        latency:percentile(50), latency:percentile(99)))
end
