require "socket"

$stdout.sync = true
port = Integer(ENV.fetch("PORT", "9292"))
server = TCPServer.new("0.0.0.0", port)
puts "listening on port #{port}"
trap("TERM") { exit }

loop do
  client = server.accept
  Thread.new(client) do |socket|
    socket.gets
    text = "{{greeting}} from Ruby\n"
    socket.print "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: #{text.bytesize}\r\nConnection: close\r\n\r\n#{text}"
  ensure
    socket.close
  end
end
