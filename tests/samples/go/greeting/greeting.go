// Package greeting says hello.
package greeting

func From(name string) string {
	return "Hello from " + name + "\n"
}
