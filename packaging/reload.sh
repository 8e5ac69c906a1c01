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
