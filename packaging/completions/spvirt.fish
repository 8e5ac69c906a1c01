# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later
# Made by `make generated`.
complete --keep-order --exclusive --command spvirt --arguments "(SPVIRT_COMPLETE=fish spvirt -- (commandline --current-process --tokenize --cut-at-cursor) (commandline --current-token))"
