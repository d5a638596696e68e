-- Helicone's older tables, as views over the request log.
CREATE VIEW IF NOT EXISTS request_response_versioned AS
SELECT
    response_id, response_created_at, latency, status, completion_tokens, prompt_tokens, model,
    request_id, request_created_at, user_id, organization_id, proxy_key_id, threat, time_to_first_token,
    provider, target_url, country_code, properties, scores, request_body, response_body, assets,
    toInt8(1) AS sign, toUInt32(1) AS version, updated_at
FROM request_response_rmt FINAL;

CREATE VIEW IF NOT EXISTS properties_v3 AS
SELECT
    organization_id, property.1 AS key, property.2 AS value, request_created_at AS created_at,
    toInt64(0) AS id, request_id
FROM request_response_rmt FINAL
ARRAY JOIN CAST(properties, 'Array(Tuple(String, String))') AS property;

CREATE VIEW IF NOT EXISTS properties_v2 AS SELECT * FROM properties_v3;

-- request_id is the request whose saved reply was used.
CREATE VIEW IF NOT EXISTS cache_hits AS
SELECT
    organization_id, request_created_at AS created_at, cache_reference_id AS request_id, completion_tokens,
    prompt_tokens, provider, country_code, model, latency
FROM request_response_rmt FINAL
WHERE cache_reference_id != '00000000-0000-0000-0000-000000000000';
