#!/bin/sh
# What the tests on SLURM need, from Debian's own packages: SLURM, its accounting, and the database
# behind that. No daemon is started or enabled: the tests start their own. Does nothing where it is
# all there, and nothing but say so on a machine that is not Debian or where one may not install.
set -eu

missing=
for program in slurmctld slurmd slurmdbd sbatch munged mariadbd mariadb-install-db; do
    PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null || missing="$missing $program"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "The tests on SLURM will be skipped; this machine lacks$missing, and I cannot install it." >&2
    [ "${CI:-}" != true ] || exit 1
    exit 0
fi
# Packages start their daemons when they are installed; here they must not.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends slurm-wlm slurmdbd munge mariadb-server >/dev/null
