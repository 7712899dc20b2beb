#!/bin/sh
# Installs SLURM, its accounting and database from Debian packages for the SLURM tests. Starts and
# enables no daemon: the tests start their own. Does nothing if all programs exist. Only prints a
# message on other systems or without root.
set -eu

missing=
for program in slurmctld slurmd slurmdbd sbatch munged mariadbd mariadb-install-db; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing="$missing $program"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The SLURM tests will be skipped. Missing:$missing. Installing them needs Debian and root." >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
fi
# Debian packages start their daemons on installation unless policy-rc.d returns 101.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurm-wlm slurmdbd munge mariadb-server >/dev/null
