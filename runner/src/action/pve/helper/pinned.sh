# What the installer fetches while it runs comes from the commit it is pinned to, here and inside of the container.
curl() {
  local word words=()
  for word; do
    words+=("${word//"$RUNBOOK_UNPINNED"/$RUNBOOK_PINNED}")
  done
  (
    set -o pipefail
    command curl "${words[@]}" | command sed "s|$RUNBOOK_UNPINNED|$RUNBOOK_PINNED|g"
  )
}
export -f curl
