# Login shells begin with a PATH of their own (/etc/profile); programs that a user installs are in ~/.local/bin.
case ":$PATH:" in
  *":$HOME/.local/bin:"*) ;;
  *) PATH="$HOME/.local/bin:$PATH" ;;
esac
