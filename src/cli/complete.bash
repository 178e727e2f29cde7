# Completion of tmbundle in bash: the program itself is asked, so that it can offer the
# snapshots of a backup and what lies in them.
_tmbundle() {
    local words=() index=0 i word glued
    # bash takes a ':' or '=' for a word of its own; an address is one.
    for ((i = 0; i < ${#COMP_WORDS[@]}; i++)); do
        word=${COMP_WORDS[i]}
        if ((i > 1)) && [[ $word == [:=]* || ${glued-} == *[:=] ]]; then
            words[${#words[@]} - 1]+=$word
        else
            words+=("$word")
        fi
        glued=${words[${#words[@]} - 1]}
        ((i == COMP_CWORD)) && index=$((${#words[@]} - 1))
    done
    local current=${words[index]//\\/} reply
    words[index]=$current
    mapfile -t reply < <(
        COMPLETE=bash _CLAP_IFS=$'\n' _CLAP_COMPLETE_INDEX=$index _CLAP_COMPLETE_COMP_TYPE=9 \
            _CLAP_COMPLETE_SPACE=false tmbundle -- "${words[@]//\\/}" 2> /dev/null
    )
    # What stands before the last ':' or '=' is not part of the word that bash completes.
    local before=${current%"${current##*[:=]}"}
    COMPREPLY=()
    for word in "${reply[@]}"; do
        [[ -n $word ]] || continue
        word=${word#"$before"}
        printf -v word %q "$word"
        COMPREPLY+=("$word")
    done
    if ((${#COMPREPLY[@]} == 1)) && [[ ${COMPREPLY[0]} == *[/:=] ]]; then
        compopt -o nospace 2> /dev/null
    fi
}
complete -F _tmbundle tmbundle
