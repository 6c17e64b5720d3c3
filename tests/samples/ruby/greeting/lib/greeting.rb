def greeting(name)
  "Hello from #{name}\n"
end
