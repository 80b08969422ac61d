import { defineConfig } from 'vite'
import react from '@vitejs/plugin-react'

export default defineConfig({
  plugins: [react()],
  server: {
    port: 5174,
    // The backend listens at http://localhost:9999 in production.
    proxy: { '/api': { target: 'http://localhost:5050', changeOrigin: true } },
  },
})
