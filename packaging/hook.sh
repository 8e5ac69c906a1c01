# The link by which libvirt finds the hook. The package does not contain it: while a package manager exchanges a link it
# has a second one beside it (.dpkg-tmp, ;65fe...), and libvirt runs whatever it sees in this folder. A domain that
# starts in that moment would call the hook twice, or not start because the second link has gone again.
hook_link=/etc/libvirt/hooks/qemu.d/50-storpool

# libvirt looks for hooks when it starts or reloads. Running guests do not notice a reload; never a restart.
reload_libvirt() {
    for daemon in libvirtd virtqemud; do
        if [ -d /run/systemd/system ]; then
            systemctl is-active --quiet "$daemon.service" || continue
            echo "Telling $daemon to look for its hooks again"
            # The unit's own reload needs /bin/kill, which is in another package (procps); ours is the shell's.
            systemctl reload "$daemon.service" ||
                kill -HUP "$(systemctl show --property=MainPID --value "$daemon.service")" ||
                echo "spvirt: reload $daemon: domains start without their volumes until that is done" >&2
        elif pid=$(cat "/run/$daemon.pid" 2>/dev/null) && [ "$(cat "/proc/$pid/comm" 2>/dev/null)" = "$daemon" ]; then
            echo "Telling $daemon to look for its hooks again"
            kill -HUP "$pid" || true
        fi
    done
}

# Makes the link, and tells a libvirt that runs, once. The note is for an installation that ends in between; below /run,
# because a libvirt that starts after the next boot finds the hook by itself.
link_hook() {
    if [ "$(readlink "$hook_link")" != /usr/sbin/spvirt-hook ]; then
        mkdir -p -m 700 /run/spvirt
        [ -x "$hook_link" ] || : >/run/spvirt/reload
        mkdir -p "${hook_link%/*}"
        ln -sfn /usr/sbin/spvirt-hook "$hook_link"
    fi
    if [ -e /run/spvirt/reload ]; then
        reload_libvirt
        rm -f /run/spvirt/reload
    fi
}
