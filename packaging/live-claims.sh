# Prints the name of each domain that holds volumes and whose QEMU lives. libvirt starts every QEMU with
# "-uuid UUID", claims are named after that UUID, and neither libvirt nor spvirt has to answer for this.
live_claims() {
    for claim in /var/lib/spvirt/claims/*.json; do
        [ -e "$claim" ] || continue
        uuid=${claim##*/}
        uuid=${uuid%.json}
        # The UUID comes through a pipe: an argument would make grep find itself. And -q, because a process that ends
        # meanwhile is an error, which -q alone does not prefer to a match.
        printf '%s\n' "$uuid" | grep -qszxF -f - /proc/[0-9]*/cmdline || continue
        domain=$(sed -n 's/^ *"domain": *"\(.*\)",\{0,1\}$/\1/p' "$claim")
        printf '%s\n' "${domain:-$uuid}"
    done
}
