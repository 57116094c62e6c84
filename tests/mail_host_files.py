"""What Postfix and Dovecot are told; `{names}` are filled in by `tests.mail_host`."""

DOMAIN = "lab.test"

DOVECOT = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = {folder}/dovecot.log
protocols = imap lmtp
listen = 127.0.0.1
ssl = yes
ssl_cert = <{folder}/good.pem
ssl_key = <{folder}/good.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
mail_location = maildir:{folder}/mail/%n
mail_max_userip_connections = 10
first_valid_uid = 1
recipient_delimiter = +
lmtp_save_to_detail_mailbox = yes
default_vsz_limit = 0
namespace inbox {{
  inbox = yes
  mailbox Junk {{
    auto = create
    special_use = \\Junk
  }}
}}
passdb {{
  driver = passwd-file
  args = scheme=PLAIN {folder}/passwords
}}
userdb {{
  driver = static
  args = uid=nobody gid=nogroup home={folder}/mail/%n
}}
service imap-login {{
  process_min_avail = 1
  service_count = 0
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
}}
service lmtp {{
  process_min_avail = 1
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
service auth {{
  unix_listener {folder}/queue/private/auth {{
    mode = 0666
  }}
}}
service anvil {{
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
"""

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = {folder}/postfix.log
maillog_file_prefixes = {folder}
myhostname = {name}
mydestination =
mynetworks =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
disable_dns_lookups = yes
smtpd_peername_lookup = no
recipient_delimiter = +
alias_maps =
alias_database =
local_recipient_maps =
virtual_mailbox_domains = {domain}
virtual_mailbox_maps = inline:{{ probe@{domain}=1, bounce@{domain}=1, refused@{domain}=1, lost@{domain}=1 }}
virtual_alias_maps = inline:{{ junk@{domain}=probe+Junk@{domain} }}
propagate_unmatched_extensions =
virtual_transport = lmtp:inet:127.0.0.1:{lmtp}
transport_maps = inline:{{ lost@{domain}=discard: }}
default_transport = error:no mail leaves this host
smtpd_relay_restrictions = reject_unauth_destination
smtpd_recipient_restrictions = reject_unlisted_recipient
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = private/auth
smtpd_tls_security_level = may
smtpd_tls_chain_files = {folder}/good.pem
smtpd_tls_loglevel = 1
smtpd_error_sleep_time = 0
smtpd_client_connection_count_limit = 0
smtpd_soft_error_limit = 1000
lmtp_destination_concurrency_limit = 20
lmtp_connection_cache_on_demand = no
notify_classes =
"""

MASTER = """
127.0.0.1:{starttls} inet n - n - - smtpd
127.0.0.1:{implicit} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
127.0.0.1:{plain} inet n - n - - smtpd -o smtpd_tls_security_level=none
127.0.0.1:{expired} inet n - n - - smtpd -o smtpd_tls_chain_files={folder}/expired.pem
127.0.0.1:{soon} inet n - n - - smtpd -o smtpd_tls_chain_files={folder}/soon.pem
127.0.0.1:{old_tls} inet n - n - - smtpd
    -o smtpd_tls_protocols=<=TLSv1.1 -o tls_medium_cipherlist=DEFAULT:@SECLEVEL=0
127.0.0.1:{auth_required} inet n - n - - smtpd
    -o smtpd_tls_auth_only=yes -o smtpd_client_restrictions=permit_sasl_authenticated,reject
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
tlsmgr unix - - n 1000? 1 tlsmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
flush unix n - n 1000? 0 flush
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
showq unix n - n - - showq
error unix - - n - - error
retry unix - - n - - error
discard unix - - n - - discard
lmtp unix - - n - - lmtp
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
postlog unix-dgram n - n - 1 postlogd
"""
