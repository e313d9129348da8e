-- name: machine_code_get
-- SHA-256 (32 bytes) of the compiled code kept under a key ($1), if any was recorded.
SELECT code_sha256 FROM machine_code WHERE key = $1

-- name: machine_code_put
-- Record the SHA-256 ($2) of the compiled code kept under a key ($1); compiling again replaces it.
INSERT INTO machine_code (key, code_sha256) VALUES ($1, $2)
ON CONFLICT (key) DO UPDATE SET code_sha256 = excluded.code_sha256, created_at = clock_timestamp()
