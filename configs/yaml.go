package configs

import (
	"errors"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// The YAML library calls itself for each level, without limit, and walks a
// mapping once for each of its keys. These bounds keep the worst file of
// [maxFile] bytes under a second, where it could take minutes or the whole stack,
// and lie far above what a configuration needs.
const (
	maxTokens    = 20_000
	maxBrackets  = 16
	maxIndention = 128
)

// parse returns the mapping that the file consists of. It complains about
// everything else, and then returns nil.
func (s *source) parse() *ast.MappingNode {
	tokens, err := guarded(func() (token.Tokens, error) { return lexer.Tokenize(s.text), nil })
	if err == nil && !s.plainYAML(tokens) {
		return nil
	}
	var file *ast.File
	if err == nil {
		file, err = guarded(func() (*ast.File, error) { return parser.Parse(tokens, 0, parser.AllowDuplicateMapKey()) })
	}
	if err != nil {
		s.syntaxFault(err)
		return nil
	}
	if len(file.Docs) == 0 || file.Docs[0].Body == nil {
		s.fault(mark{}, "write its keys, or remove it", "the file is empty")
		return nil
	}
	body := file.Docs[0].Body
	root, ok := body.(*ast.MappingNode)
	if !ok {
		s.fault(markOf(body), "write one \"key: value\" on each line", "the file must hold keys and their values, not %s", kindOf(body))
		return nil
	}
	return root
}

// errParserPanic stands in for a panic of the YAML library, which some broken
// files cause.
var errParserPanic = errors.New("the YAML is broken in a way that cannot be located")

// guarded calls a function of the YAML library.
func guarded[T any](call func() (T, error)) (result T, err error) {
	defer func() {
		if recover() != nil {
			err = errParserPanic
		}
	}()
	return call()
}

// syntaxFault reports what the parser says.
func (s *source) syntaxFault(err error) {
	const remedy = "indent with spaces, and quote text that holds \": \" or \" #\""
	var located yaml.Error
	if errors.As(err, &located) {
		s.fault(markOfToken(located.GetToken()), remedy, "%s", strings.ReplaceAll(located.GetMessage(), "\t", `\t`))
		return
	}
	s.fault(mark{}, remedy, "%v", err)
}

// plainYAML complains about the first use of YAML that a configuration does not
// need and that hides what a file says or costs more than it seems.
func (s *source) plainYAML(tokens token.Tokens) bool {
	if len(tokens) > maxTokens {
		s.fault(mark{}, "split it", "the file has %d YAML tokens, more than %d", len(tokens), maxTokens)
		return false
	}
	brackets, begun, ended := 0, false, false
	for _, t := range tokens {
		if t.Type == token.CommentType {
			continue
		}
		if ended || begun && t.Type == token.DocumentHeaderType {
			s.fault(markOfToken(t), "move it to a file of its own", "a second document begins here")
			return false
		}
		begun, ended = true, t.Type == token.DocumentEndType
		brackets += bracket(t.Type)
		if message, remedy := unwanted(t, brackets); message != "" {
			s.fault(markOfToken(t), remedy, "%s", message)
			return false
		}
	}
	return true
}

// bracket returns by how much the token changes the nesting of [] and {}.
func bracket(t token.Type) int {
	switch t {
	case token.SequenceStartType, token.MappingStartType:
		return 1
	case token.SequenceEndType, token.MappingEndType:
		return -1
	}
	return 0
}

// unwanted returns what is wrong with a token and what to do instead.
func unwanted(t *token.Token, brackets int) (message, remedy string) {
	switch t.Type {
	case token.AnchorType:
		return "anchors (&) are refused", "write the value out where it is needed; quote text that begins with &"
	case token.AliasType:
		return "aliases (*) are refused", "write the value out where it is needed; quote text that begins with *"
	case token.MergeKeyType:
		return "merge keys (<<) are refused", "write the keys out where they are needed"
	case token.TagType:
		return "tags (!) are refused", "remove the tag; quote text that begins with !"
	case token.DirectiveType:
		return "directives (%) are refused", "remove the line; quote text that begins with %"
	case token.MappingKeyType:
		return "explicit keys (?) are refused", "write \"key: value\""
	case token.StringType:
		// The YAML library leaves it out: "/srv/a<tab>b" becomes /srv/ab.
		if strings.Contains(strings.TrimSpace(t.Origin), "\t") {
			return "text holds a tab", "use spaces"
		}
	}
	if brackets > maxBrackets || structural(t.Type) && brackets == 0 && t.Position.Column > maxIndention {
		return "the file is nested too deeply", "write it flatter"
	}
	return "", ""
}

// structural reports whether the token opens a level by its indention.
func structural(t token.Type) bool {
	return t == token.SequenceEntryType || t == token.MappingValueType
}

// kindOf names the kind of a value as a person would.
func kindOf(n ast.Node) string {
	switch n.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	case *ast.BoolNode:
		return "true or false"
	case *ast.NullNode:
		return "nothing"
	}
	return "text"
}
