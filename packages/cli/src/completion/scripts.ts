/** Shells for which `oc` has completion. */
export const shells = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof shells)[number];

const bash = String.raw`# Completion of oc for bash: eval "$(oc completion bash)"
_oc() {
  local IFS=$'\n' line words=("${'$'}{COMP_WORDS[@]:1:COMP_CWORD}")
  # A word that ends in a colon is cut there by bash.
  local current=${'$'}{COMP_WORDS[COMP_CWORD]}
  COMPREPLY=()
  while read -r line; do COMPREPLY+=("${'$'}{line%%$'\t'*}"); done < <("${'$'}{COMP_WORDS[0]}" __complete -- "${'$'}{words[@]}" 2>/dev/null)
  [[ ${'$'}{COMPREPLY[0]} == *: ]] && compopt -o nospace
  [[ ${'$'}{#COMPREPLY[@]} -eq 0 && $current != -* ]] && compopt -o default
  return 0
}
complete -F _oc oc
`;

const zsh = String.raw`#compdef oc
# Completion of oc for zsh: eval "$(oc completion zsh)"
_oc() {
  local -a plain open
  local word meaning
  while IFS=$'\t' read -r word meaning; do
    if [[ $word == *: ]]; then open+=("$word"); else plain+=("${'$'}{word//:/\\:}${'$'}{meaning:+:$meaning}"); fi
  done < <(oc __complete -- "${'$'}{(@)words[2,CURRENT]}" 2>/dev/null)
  (( $#plain )) && _describe 'oc' plain
  (( $#open )) && compadd -S '' -a open
  (( $#plain )) || _files
}
# A zsh without a configuration of its own has not loaded its completion yet.
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -D; }
compdef _oc oc
`;

const fish = String.raw`# Completion of oc for fish: oc completion fish | source
complete -c oc -f -a '(oc __complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null; or __fish_complete_path)'
complete -c oc -n '__fish_seen_subcommand_from cp patch' -F
`;

/** The script that a shell reads to complete words of `oc`. */
export function completionScript(shell: Shell): string {
  return { bash, zsh, fish }[shell];
}
