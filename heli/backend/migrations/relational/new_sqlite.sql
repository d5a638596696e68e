-- What the migrations make of an empty SQLite file. A test compares the two.
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL,
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
CREATE TABLE organisations (
	id CHAR(32) NOT NULL,
	name VARCHAR(200) NOT NULL,
	created_at DATETIME NOT NULL,
	PRIMARY KEY (id)
);
CREATE TABLE api_keys (
	id CHAR(32) NOT NULL,
	organisation_id CHAR(32) NOT NULL,
	name VARCHAR(200) NOT NULL,
	digest VARCHAR(64) NOT NULL,
	permissions VARCHAR(16) NOT NULL,
	created_at DATETIME NOT NULL,
	revoked_at DATETIME,
	PRIMARY KEY (id),
	FOREIGN KEY(organisation_id) REFERENCES organisations (id),
	UNIQUE (digest)
);
CREATE INDEX ix_api_keys_organisation_id ON api_keys (organisation_id);
INSERT INTO organisations (id, name, created_at)
VALUES ('00000000000000000000000000000001', 'local', strftime('%Y-%m-%d %H:%M:%f000', 'now'));
INSERT INTO alembic_version (version_num) VALUES ('0001');
