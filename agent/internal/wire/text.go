package wire

import "unicode/utf8"

const hexDigits = "0123456789abcdef"

// AppendString appends text as a JSON string. Bytes that are not UTF-8
// become U+FFFD, since JSON cannot hold them.
func AppendString(out []byte, text string) []byte {
	out = append(out, '"')
	plain := 0
	for i := 0; i < len(text); {
		char := text[i]
		if char >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(text[i:])
			if r == utf8.RuneError && size == 1 {
				out = append(out, text[plain:i]...)
				out = append(out, "\uFFFD"...)
				plain = i + 1
			}
			i += size
			continue
		}
		if char >= 0x20 && char != '"' && char != '\\' {
			i++
			continue
		}
		out = append(out, text[plain:i]...)
		switch char {
		case '"', '\\':
			out = append(out, '\\', char)
		case '\n':
			out = append(out, '\\', 'n')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', hexDigits[char>>4], hexDigits[char&15])
		}
		i++
		plain = i
	}
	out = append(out, text[plain:]...)
	return append(out, '"')
}

// IsVisibleASCII reports whether text can be sent back as a header.
func IsVisibleASCII(text string) bool {
	for i := 0; i < len(text); i++ {
		if text[i] <= ' ' || text[i] > '~' {
			return false
		}
	}
	return true
}
