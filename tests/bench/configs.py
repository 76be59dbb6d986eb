"""The configurations of the proxies: the same job for all, in the words of each.

Client certificates are required and verified against the root with CRLs for the full chain (hitch knows no CRLs). To the
backend go, from all, the client's identity in the same six headers, X-Forwarded-For, -Proto, -Host and -Port, Via and
X-Request-Id, over kept-alive HTTP/1.1. contenders.py fills the braces in.
"""

NGINX = """\
daemon off;
user root;
worker_processes 1;
pid {dir}/nginx.pid;
error_log {dir}/nginx-error.log warn;
events {{ worker_connections 12000; }}
http {{
    access_log {access};
    client_body_temp_path {dir}/nginx-body;
    proxy_temp_path {dir}/nginx-proxy;
    fastcgi_temp_path {dir}/nginx-fastcgi;
    uwsgi_temp_path {dir}/nginx-uwsgi;
    scgi_temp_path {dir}/nginx-scgi;
    keepalive_requests 1000000;
    keepalive_timeout 3600s;
    client_max_body_size 0;
    upstream app {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name localhost;
        ssl_certificate {pki}/server-chain.pem;
        ssl_certificate_key {pki}/server.key;
        ssl_protocols TLSv1.2 TLSv1.3;
        ssl_verify_client on;
        ssl_verify_depth 3;
        ssl_client_certificate {pki}/root.pem;
        ssl_crl {crls};
        {sessions}
        location / {{
            proxy_pass http://app;
            proxy_http_version 1.1;
            proxy_request_buffering off;
            proxy_max_temp_file_size 0;
            proxy_set_header Connection "";
            proxy_set_header Host $http_host;
            proxy_set_header X-SSL-Client-Verify $ssl_client_verify;
            proxy_set_header X-SSL-Client-S-DN $ssl_client_s_dn;
            proxy_set_header X-SSL-Client-I-DN $ssl_client_i_dn;
            proxy_set_header X-SSL-Client-Serial $ssl_client_serial;
            proxy_set_header X-SSL-Client-Fingerprint $ssl_client_fingerprint;
            proxy_set_header X-SSL-Client-Cert $ssl_client_escaped_cert;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
            proxy_set_header X-Forwarded-Host $http_host;
            proxy_set_header X-Forwarded-Port $server_port;
            proxy_set_header Via "1.1 nginx";
            proxy_set_header X-Request-Id $request_id;
        }}
    }}
}}
# generation {generation}
"""

HAPROXY = """\
global
    nbthread 1
    tune.maxrewrite 4096
    maxconn 12000
    no strict-limits
    {sessions}
    {log_global}
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout http-keep-alive 1h
    timeout server 30s
    http-reuse always
    {log_defaults}
frontend bench
    bind 127.0.0.1:{port} ssl crt {pki}/server-all.pem ca-file {pki}/root.pem crl-file {crls} verify required ssl-min-ver TLSv1.2 {tickets}
    http-request set-header X-SSL-Client-Verify %[ssl_c_verify]
    http-request set-header X-SSL-Client-S-DN %[ssl_c_s_dn(,0,rfc2253)]
    http-request set-header X-SSL-Client-I-DN %[ssl_c_i_dn(,0,rfc2253)]
    http-request set-header X-SSL-Client-Serial %[ssl_c_serial,hex]
    http-request set-header X-SSL-Client-Fingerprint %[ssl_c_sha1,hex]
    http-request set-header X-SSL-Client-Cert %[ssl_c_der,base64]
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request set-header X-Forwarded-Port %[dst_port]
    http-request set-header Via "1.1 haproxy"
    http-request set-header X-Request-Id %[uuid()]
    default_backend app
backend app
    server one 127.0.0.1:{backend}
# generation {generation}
"""

SALLYPORT = """\
workers: 1
gates: 1
log: {{level: {level}, format: json, output: stderr, access: "{access}"}}
limits: {{connections: 12000, handshakes_per_address: 12000}}
listeners:
  - name: bench
    address: "127.0.0.1:{port}"
    mode: {mode}
    tls: {{certificates: [{{chain: {pki}/server-chain.pem, key: {pki}/server.key}}], min_version: "1.2"{tickets}}}
    client_auth: {{mode: required, ca: [{pki}/root.pem], crl: [{crls}], crl_missing: reject, crl_stale: reject}}
    timeouts: {{idle: 1h, tunnel: 1h}}
callers: {{anyone: [{{any: authenticated}}]}}
rules: [{{name: all-{generation}, from: [anyone], {path}upstream: app}}]
upstreams: {{app: {{endpoints: ["127.0.0.1:{backend}"]{identity}}}}}
"""

HITCH = """\
frontend = {{
    host = "127.0.0.1"
    port = "{port}"
}}
backend = "[127.0.0.1]:{backend}"
pem-file = "{pki}/server-all.pem"
client-verify = required
client-verify-ca = "{pki}/root.pem"
tls-protos = TLSv1.2 TLSv1.3
workers = 1
backlog = 1024
daemon = off
{user}
{log}
"""
